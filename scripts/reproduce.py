#!/usr/bin/env python3
"""Train and evaluate what a published figure was of, and print ours beside it. scripts/reproduce.sh runs this.

    scripts/reproduce.sh NAME [--ranks N] [--threads N] [--set SECTION.NAME=VALUE ...] [--folder DIR] [--quick]

NAME is one of --list. --quick makes a model in a minute or less that shows that all parts work, not the figure.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLES = os.path.join(HERE, "..", "examples")

# How a data file is made from the folder HARMONIUM_DATA: commands, whose last one names the file.
MNIST = [["import", "mnist", "{data}/mnist", "-o", "{folder}/mnist.h5"]]
FREY = [["import", "idx", "{data}/freyfaces/freyfaces-images-idx3-ubyte.gz", "--test-fraction", "0.1", "-o",
         "{folder}/frey-raw.h5"],
        ["whiten", "{folder}/frey-raw.h5", "-o", "{folder}/frey.h5"]]

LOG_PROB = ("test log-probability by AIS", "nats", lambda report: counting_ais(report))
BOUND_OF_5000 = ("test log-probability, importance-weighted with 5,000 draws", "nats",
                 lambda report: (report["importance"]["test_log_prob"], report["importance"]["test_log_prob_stderr"]))
SHORTENED = ["train.epochs=364"]  # six of the eight stretches of the published schedule
ERROR = ("test classification error", "", lambda report: (report["classification"]["test_error"],
                                                          report["classification"]["test_error_stderr"]))

# config: below examples; data: as above; figure: what is compared; published: text; sets, quick: settings beside the
# configuration's, always and with --quick; least (or most): what --quick must reach, so that a regression is caught.
FIGURES = {
    "rbm-16": dict(
        config="rbm-mnist.yaml", data=MNIST,
        figure=("exact test log-probability", "nats", lambda report: (report["exact"]["test_log_prob"],
                                                                      report["exact"]["test_log_prob_stderr"])),
        published="-142.56 (Melchior, Fischer, Wiskott 2016)", quick=["train.epochs=10", "ais.temperatures=500"],
        least=-156),
    "rbm-cd25": dict(
        config="rbm-mnist-cd25.yaml", data=MNIST, figure=LOG_PROB,
        published="-86.34 (Salakhutdinov & Murray 2008)",
        quick=["train.epochs=2", "train.k=5", "ais.ladder=linear", "ais.temperatures=1000", "ais.burn_in=100"], least=-130),
    "rbm-pcd500": dict(
        config="rbm-mnist-pcd500.yaml", data=MNIST, figure=LOG_PROB,
        published="between -96.61 and -84.86 (PyDeep tutorial)", sets=["train.schedule=linear", "train.final_learning_rate=0"],
        quick=["train.epochs=4", "ais.temperatures=500", "ais.burn_in=50"], least=-139),
    "rbm-pcd500-dynamic": dict(
        config="rbm-mnist-pcd500.yaml", data=MNIST, figure=LOG_PROB,
        published="-86.34 of CD-25 (Salakhutdinov & Murray 2008)",
        sets=["train.schedule=linear", "train.final_learning_rate=0", "train.learning_rate=0.02", "train.epochs=500",
              "data.binarize=dynamic"],
        quick=["train.epochs=4", "ais.temperatures=500", "ais.burn_in=50"], least=-130),
    "dbm-500-1000": dict(
        config="dbm-mnist-500-1000.yaml", data=MNIST, figure=LOG_PROB,
        published="bound -84.62 (Salakhutdinov & Hinton 2009)",
        quick=["stages.1.epochs=1", "model.hidden=[200, 300]", "ais.temperatures=1000", "ais.burn_in=100"], least=-160),
    "dbm-500-1000-error": dict(
        config="dbm-mnist-classify.yaml", data=MNIST, figure=ERROR, methods="classification",
        published="0.95 % (Salakhutdinov & Hinton 2009)",
        quick=["stages.1.epochs=1", "stages.2.epochs=4", "stages.2.learning_rate=0.003", "stages.2.dropout=0.1",
               "model.hidden=[100, 100]"], most=0.05),
    "dbm-500-500-1000": dict(
        config="dbm-mnist-500-500-1000.yaml", data=MNIST, figure=LOG_PROB,
        published="bound -85.10 (Salakhutdinov & Hinton 2009)",
        quick=["stages.1.epochs=1", "stages.2.epochs=1", "stages.3.epochs=1", "stages.4.epochs=1",
               "model.hidden=[100, 100, 200]", "ais.temperatures=500", "ais.burn_in=50"], least=-158),
    "dbn-500-500-2000": dict(
        config="dbn-mnist-500-500-2000.yaml", data=MNIST, figure=ERROR,
        published="1.25 % (Hinton, Osindero, Teh 2006)", methods="classification,ais,reverse_ais",
        quick=["stages.1.epochs=2", "stages.2.epochs=1", "stages.3.epochs=2", "stages.4.epochs=1", "stages.5.epochs=1",
               "model.hidden=[150, 150, 300]", "ais.temperatures=500", "ais.burn_in=50"], most=0.15),
    "dbn-500-500-2000-error": dict(
        config="dbn-mnist-classify.yaml", data=MNIST, figure=ERROR, methods="classification",
        published="1.25 % (Hinton, Osindero, Teh 2006; by the up-down algorithm)",
        quick=[*(f"stages.{stage}.epochs=1" for stage in range(1, 9)), "stages.9.epochs=3", "stages.9.learning_rate=0.003",
               "stages.9.dropout=0.1", "model.hidden=[100, 100, 200]"], most=0.05),
    "drbm": dict(
        config="drbm-mnist.yaml", data=MNIST, figure=ERROR, methods="classification",
        published="1.81 % (Larochelle & Bengio 2008)", quick=["train.epochs=2", "model.hidden=100"], most=0.09),
    "hdrbm": dict(
        config="hdrbm-mnist.yaml", data=MNIST, figure=ERROR, methods="classification",
        published="1.28 % (Larochelle & Bengio 2008)",
        quick=["stages.1.epochs=1", "stages.2.epochs=1", "stages.3.epochs=2", "stages.3.learning_rate=0.003",
               "stages.3.dropout=0.1", "stages.3.dropout_visible=0.1", "model.hidden=100"], most=0.07),
    "vae-1": dict(
        config="vae-mnist.yaml", data=MNIST, figure=BOUND_OF_5000, published="-86.76 (Burda, Grosse, Salakhutdinov 2016)",
        quick=["train.epochs=1", "importance.samples=20", "importance.train_rows=100"], least=-118),
    "vae-5": dict(
        config="vae-mnist.yaml", data=MNIST, figure=BOUND_OF_5000, published="-86.47 (Burda, Grosse, Salakhutdinov 2016)",
        sets=SHORTENED + ["train.samples=5"],
        quick=["train.epochs=1", "importance.samples=20", "importance.train_rows=100"], least=-118),
    "iwae-5": dict(
        config="vae-mnist.yaml", data=MNIST, figure=BOUND_OF_5000, published="-85.54 (Burda, Grosse, Salakhutdinov 2016)",
        sets=SHORTENED + ["train.objective=iwae", "train.samples=5"],
        quick=["train.epochs=1", "importance.samples=20", "importance.train_rows=100"], least=-118),
    "gan": dict(
        config="gan-mnist-maxout.yaml", data=MNIST, methods="parzen",
        figure=("test log-density by Parzen windows", "nats",
                lambda report: (report["parzen"]["test_log_prob"], report["parzen"]["test_log_prob_stderr"])),
        published="225 +- 2 (Goodfellow et al. 2014)",
        quick=["train.epochs=2", "model.generator=[dense 200, batch_norm, relu, dense 784, sigmoid]",
               "model.discriminator=[maxout 60 3, dropout 0.5, dense 1]", "train.learning_rate=0.002",
               "discriminator.learning_rate=0.001", "generation.samples=2000"], least=-12),
    "grbm-frey-faces": dict(
        config="grbm-frey-faces.yaml", data=FREY, figure=LOG_PROB, published="none; in standardised units",
        quick=["train.epochs=20", "model.hidden=100", "ais.temperatures=1000", "ais.burn_in=100"], least=-800),
}


def counting_ais(report):
    """Of the start that counts for the bracket, where there is one."""
    starts = [report[start] for start in ("ais", "ais_uniform") if start in report]
    counts = report.get("bracket", {}).get("forward", max(start["log_z"] for start in starts))
    best = min(starts, key=lambda start: abs(start["log_z"] - counts))
    return best["test_log_prob"], best["test_log_prob_stderr"]


def run(command, **more):
    print("+", " ".join(command), file=sys.stderr)
    done = subprocess.run(command, text=True, **more)
    if done.returncode:
        sys.exit(f"reproduce: that ended with {done.returncode}")
    return done.stdout


def settings(*lists):
    return [word for setting in sum(lists, []) for word in ("--set", setting)]


def is_trained(run_folder, training):
    """Was it interrupted while it was evaluated? What it is made by is kept beside the folder."""
    with open(training[training.index("train") + 1]) as file:
        made_by = " ".join(training) + "\n" + file.read()
    record = run_folder + ".made-by"
    if os.path.exists(os.path.join(run_folder, "model.h5")):
        with open(record) if os.path.exists(record) else open(os.devnull) as file:
            if file.read() != made_by:
                sys.exit(f"reproduce: {run_folder} holds a run that was made otherwise; choose another --folder")
        return True
    with open(record, "w") as file:
        file.write(made_by)
    return False


def variant(quick, sets):
    return [*(["quick"] if quick else []), *sets]


def reproduce(name, harmonium, folder, ranks=1, threads=1, quick=False, sets=()):
    """Makes the model in a folder (its data files stay there for others); the evaluation's report, value, error."""
    what = FIGURES[name]
    data = os.environ["HARMONIUM_DATA"]
    commands = [[word.format(data=data, folder=folder) for word in command] for command in what["data"]]
    for command in commands:
        if not os.path.exists(command[-1]):
            run([harmonium, *command, "--quiet"])
    start = ["mpirun", "-n", str(ranks), harmonium] if ranks > 1 else [harmonium]
    more = what.get("sets", []) + (what["quick"] if quick else []) + list(sets)
    run_folder = os.path.join(folder, "-".join([name, *variant(quick, sets)]).replace("/", "_"))
    training = [*start, "train", os.path.join(EXAMPLES, what["config"]), "-o", run_folder, "--quiet", "--json",
                *settings([f"data.file={commands[-1][-1]}", f"threads={threads}"], more)]
    if not is_trained(run_folder, training):
        run(training, stdout=subprocess.DEVNULL)
    methods = ["--method", what["methods"]] if "methods" in what else []
    report = json.loads(run([*start, "evaluate", run_folder, "--quiet", "--json", *methods], stdout=subprocess.PIPE))
    value, error = what["figure"][2](report)
    return report, value, error


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=FIGURES, metavar="NAME")
    parser.add_argument("--list", action="store_true", help="the names, with what was published")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.NAME=VALUE",
                        help="a setting beside the figure's own, as in `harmonium train --set`")
    parser.add_argument("--folder", help="for data and the run, which goes on if it was interrupted (default: a temporary one)")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--harmonium", default=os.path.join(HERE, "..", "build", "harmonium"), metavar="PROGRAM")
    options = parser.parse_args()
    if not options.list and not options.name:
        parser.error("which figure? --list names them")
    if not options.list and "HARMONIUM_DATA" not in os.environ:
        parser.error("HARMONIUM_DATA must name the folder of the data (mnist/, freyfaces/)")
    return options


def main():
    options = arguments()
    if options.list:
        for name, what in FIGURES.items():
            print(f"{name:<20} {what['figure'][0]}: published {what['published']}")
        return
    what = FIGURES[options.name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or temporary
        os.makedirs(folder, exist_ok=True)
        report, value, error = reproduce(options.name, options.harmonium, folder, options.ranks, options.threads,
                                         options.quick, options.set)
    label, unit, _ = what["figure"]
    scale, digits = (1, 2) if unit else (100, 2)
    unit = unit or "%"
    changes = ", ".join(variant(options.quick, options.set))
    print(f"{options.name}{f' ({changes})' if changes else ''}: {label}")
    print(f"  published  {what['published']}")
    print(f"  ours       {scale * value:.{digits}f} +- {scale * error:.{digits}f} {unit}")
    if "bracket" in report:
        print(f"  verdict    {report['bracket']['verdict']}")


if __name__ == "__main__":
    main()
