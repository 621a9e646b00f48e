"""Stages: every family and stage gives the same bits on any ranks, threads and vectors, and after any interruption."""
import os
import random
import re
import shutil
import signal
import unittest

import h5py
import numpy

from harmonium import Case, edited, finish, main, messages, metrics, parameters, rank_processes, said, start, wait_for_rows

# A model and the stages it is trained in; `train` gives what they have in common.
COMMON = "batch: 44, learning_rate: 0.02, monitor_every: 7"
RUNS = {
    "dbm": ("family: dbm, hidden: [40, 30, 20]", """
  - {name: first, objective: pretrain, layer: 1, estimator: cd, epochs: 6}
  - {name: second, objective: pretrain, layer: 2, epochs: 6, chains: 50, momentum: 0.5}
  - {name: third, objective: pretrain, layer: 3, estimator: cd, epochs: 6, optimizer: adam, learning_rate: 0.002}
  - {name: joint, epochs: 6, k: 2, momentum: 0.5}
"""),
    "dbm, recognised": ("family: dbm, hidden: [30, 20], recognition: true, mean_field_updates: 3", """
  - {name: predict, objective: multi_prediction, epochs: 4, missing: 0.3}
  - {name: joint, epochs: 6, k: 2}
  - {name: restarted, estimator: cd, k: 3, epochs: 4}
"""),
    "dbm, labelled": ("family: dbm, hidden: [30, 20], classes: 10, label_units: true, recognition: true", """
  - {name: first, objective: pretrain, layer: 1, estimator: cd, epochs: 3}
  - {name: joint, epochs: 4, sparsity_cost: 0.01}
  - {name: restarted, estimator: cd, k: 3, epochs: 3}
  - {name: tempered, sampler: pt, temperatures: 3, chains: 16, epochs: 3}
  - {name: classes, objective: classify, epochs: 3, dropout: 0.3}
"""),
    "classifiers": ("family: dbm, hidden: [30, 20], classes: 10", """
  - {name: joint, epochs: 4}
  - {name: softmax, objective: classify, layer: 3, epochs: 4}
  - {name: all, objective: classify, epochs: 6, momentum: 0.5, dropout: 0.3, dropout_visible: 0.1, max_norm: 2}
"""),
    "dbn": ("family: dbn, hidden: [30, 20, 25], classes: 10, label_units: true", """
  - {name: first, objective: pretrain, layer: 1, estimator: cd, epochs: 3}
  - {name: second, objective: pretrain, layer: 2, chains: 16, epochs: 3}
  - {name: top, objective: pretrain, layer: 3, chains: 16, epochs: 3, momentum: 0.5}
  - {name: fine, objective: up_down, estimator: cd, k: 3, epochs: 3, learning_rate: 0.005}
  - {name: persistent, objective: up_down, chains: 24, epochs: 3, learning_rate: 0.005}
"""),
    "dbn, unrolled": ("family: dbn, hidden: [30, 20], classes: 10", """
  - {name: first, objective: pretrain, layer: 1, epochs: 3}
  - {name: second, objective: pretrain, layer: 2, epochs: 3}
  - {name: classes, objective: classify, epochs: 4, dropout: 0.2}
"""),
    "labels": ("family: rbm, hidden: 40, classes: 10, label_units: true", """
  - {name: joint, epochs: 4, chains: 20}
  - {name: discriminative, objective: discriminative, epochs: 4, dropout: 0.3, dropout_visible: 0.1}
  - {name: hybrid, objective: hybrid, epochs: 4, generative_weight: 0.1, momentum: 0.5}
  - {name: restarted, objective: hybrid, estimator: cd, k: 3, epochs: 4, dropout: 0.3}
"""),
    "network": ("family: network, layers: [reshape 28 28 1, conv 4 5 stride 4, batch_norm, relu, dropout 0.3, "
                "dense 20, batch_norm by_shard, maxout 8 2]", """
  - {name: first, epochs: 4, optimizer: adam, learning_rate: 0.002}
  - {name: second, epochs: 4, momentum: 0.5}
"""),
    "vae": ("family: vae, encoder: [dense 20, batch_norm, tanh, latent 8, dense 10, relu, latent 4], "
            "decoder: [dense 10, tanh, latent 8, dense 20, batch_norm, relu, dropout 0.1]", """
  - {name: bound, epochs: 4, optimizer: adam, learning_rate: 0.002, kl: sampled, kl_warmup: 2}
  - {name: weighted, objective: iwae, samples: 3, epochs: 4, momentum: 0.5, learning_rate: 0.001}
"""),
    "gan": ("family: gan, noise_units: 5, range: symmetric, generator: [dense 20, batch_norm, relu, dense 784, tanh], "
            "discriminator: [dense 20, leaky_relu, dropout 0.2, dense 1]", """
  - {name: first, epochs: 3, adversary_steps: 2, optimizer: adam, beta1: 0.5, learning_rate: 0.002}
  - {name: critic, objective: wasserstein, epochs: 3, optimizer: adam, beta1: 0.5, learning_rate: 0.002}
"""),
    "dbm, tempered": ("family: dbm, hidden: [30, 20], mean_field_tolerance: 1e-3, mean_field_damping: 0.1", """
  - {name: joint, epochs: 5, sampler: pt, temperatures: 3, chains: 16}
"""),
}


class Stages(Case):
    def staged(self, kind, name="config.yaml", train=COMMON, stages=None):
        model, listed = RUNS[kind]
        if not os.path.exists(self.path("digits.h5")):
            self.digits(rows=1000)
        return self.write(name, f"data: {{file: {self.path('digits.h5')}, binarize: dynamic}}\nmodel: {{{model}}}\n"
                                f"train: {{{train}}}\nstages:{stages or listed}\n")

    def test_any_ranks_threads_and_vectors_give_the_same_bits(self):
        for kind, (_, stages) in RUNS.items():
            config = self.staged(kind, stages=re.sub(r"epochs: \d+", "epochs: 2", stages))
            self.succeed("train", config, "-o", self.path("one"), "--overwrite", "--quiet")
            for ranks, threads, isa in ((2, 1, None), (4, 2, None), (1, 3, "avx2")):
                self.succeed("train", config, "-o", self.path("many"), "--overwrite", "--quiet", "--set",
                             f"threads={threads}", ranks=ranks, env={"HARMONIUM_ISA": isa} if isa else None)
                self.assert_same_run(self.path("many"), self.path("one"))

    def test_an_interruption_in_any_stage_changes_nothing(self):
        seed = random.randrange(1 << 30)
        print("seed", seed)
        choose = random.Random(seed)
        for kind in RUNS:
            config, folder = self.staged(kind), self.path("run")
            shutil.rmtree(folder, ignore_errors=True)
            self.succeed("train", config, "-o", self.path("whole"), "--overwrite", "--quiet")
            whole = metrics(self.path("whole"))["stage"]
            rows = 0
            for stage in sorted(set(whole)):  # in each of them, while more than a few rows are left
                there = numpy.flatnonzero(whole == stage)
                rows = max(rows + 1, choose.choice(list(there[:-4])) + 1)
                process = start("train", config, "-o", folder, ranks=choose.choice((0, 2, 4)))
                wait_for_rows(folder, rows, process)
                for rank in rank_processes(process)[-1:]:  # none when it was faster
                    os.kill(rank, signal.SIGTERM)
                process = finish(process)
                if process.returncode == 0:  # it was faster than the signal
                    break
                self.assertEqual(process.returncode, 6, said(process))
                self.assertRegex(messages(process)[0], r"after update \d+ of \d+ of stage '\w+'")
                rows = len(metrics(folder)["step"])  # the next signal comes when there are more: it is at work
            if not os.path.exists(folder + "/model.h5"):
                self.succeed("train", "--resume", folder, "--quiet", ranks=2)
            self.assert_same_run(folder, self.path("whole"))

    def test_metrics_carry_the_stage(self):
        config = self.staged("dbm")
        self.succeed("train", config, "-o", self.path("run"), "--quiet")
        rows = metrics(self.path("run"))
        self.assertEqual(sorted(set(rows["stage"])), [1, 2, 3, 4])
        self.assertEqual(rows["step"][-1], 4 * 6 * 22)
        self.assertEqual(rows["epoch"][-1], 24)
        joint = rows["stage"] == 4
        self.assertTrue(numpy.isnan(rows["mean_field_updates"][~joint]).all())
        self.assertTrue((rows["mean_field_updates"][joint] == 10).all())
        self.assertFalse(numpy.isnan(rows["reconstruction_error"]).any())
        with h5py.File(self.path("run/checkpoint.h5")) as file:
            self.assertEqual((file.attrs["stage"], file.attrs["stage_epoch"], file.attrs["epoch"]), ("joint", 6, 24))
        report = self.report("train", "--resume", self.path("run"))
        self.assertEqual((report["state"], report["epochs"]), ("finished before; nothing to do", 24))

    def test_a_metric_is_described_for_every_stage(self):
        self.succeed("train", self.staged("dbm", train="batch: 500"), "-o", self.path("run"), "--quiet")
        with h5py.File(self.path("run/metrics.h5")) as file:
            told = file["metrics/free_energy"].attrs["description"]
        self.assertTrue(told.startswith("free energy of the minibatch"), told)
        self.assertIn("; in stage 'joint': variational free energy", told)
        self.assertEqual(told.count("in stage"), 1)

    def test_a_layer_is_trained_by_its_stage_alone(self):
        learnt = {}
        for layer in (1, 2):
            config = self.staged("dbm", stages=f"\n  - {{name: only, objective: pretrain, layer: {layer}, epochs: 1}}")
            self.succeed("train", config, "-o", self.path("run"), "--quiet", "--overwrite")
            learnt[layer] = parameters(self.path("run"))
        same = {name for name in learnt[1] if numpy.array_equal(learnt[1][name], learnt[2][name])}
        self.assertEqual(same, {"W3", "c3", "lambda3", "base_rate"})
        self.assertTrue((learnt[1]["c2"] == 0).all() and (learnt[2]["b"] != 0).all())

    def test_stages_have_defaults_and_can_be_set(self):
        config = self.staged("dbm")
        self.succeed("train", config, "-o", self.path("run"), "--quiet", "--set", "stages.2.epochs=1", "--set",
                     "train.weight_decay=0.25")
        with open(self.path("run/config.yaml")) as file:
            text = file.read()
        self.assertEqual(text.count("weight_decay: 0.25"), 4)
        self.assertIn("  - name: \"second\"", text)
        self.assertNotIn("\ntrain:", text)
        # The resolved configuration is one.
        self.succeed("train", self.path("run/config.yaml"), "-o", self.path("again"), "--quiet")
        self.assert_same_run(self.path("again"), self.path("run"))

    def test_what_is_wrong_with_a_stage_is_said(self):
        for words, stages in (
                (["config.yaml:5: stages.1.objective", "'wisdom'", "likelihood, pretrain"],
                 "\n  - {name: a, epochs: 1, objective: wisdom}"),
                (["layer", "must be 1 to 3, not 4"], "\n  - {name: a, epochs: 1, objective: pretrain, layer: 4}"),
                (["'stages.1.epochs' is missing"], "\n  - {name: a}"),
                (["'stages.1.name' is missing"], "\n  - {epochs: 1}"),
                (["two stages are called 'a'"], "\n  - {name: a, epochs: 1}\n  - {name: a, epochs: 1}"),
                (["unknown key 'stages.1.epoch'", "did you mean 'epochs'"], "\n  - {name: a, epoch: 1}"),
                (["config.yaml:6", "key 'stages.1.name' is given twice"],
                 "\n  - {name: a, epochs: 1,\n     name: b}"),
                (["every item must be a list of 'key: value'"], "\n  - {name: a, epochs: 1}\n  - 7"),
                (["stages.2.batch", "must be at least 8"],
                 "\n  - {name: a, epochs: 1}\n  - {name: b, epochs: 1, batch: 7}"),
        ):
            config = self.staged("dbm", stages=stages)
            self.refuse(2, words, "train", config, "-o", self.path("run"))
            self.assertFalse(os.path.exists(self.path("run")))
        # Found before the first stage begins, not when the second one does.
        for code, words, second in (
                (2, ["stages.2.sampler", "objective pretrain of family dbm has no use for it"],
                 "objective: pretrain, layer: 1, sampler: pt"),
                (2, ["stages.2.layer", "objective likelihood of family dbm has no use for it"], "layer: 1"),
                (3, ["config.yaml:6: stages.2.batch: ", "fewer than one batch of 2000"], "batch: 2000")):
            config = self.staged("dbm", stages="\n  - {name: a, epochs: 1}\n  - {name: b, epochs: 1, " + second + "}")
            self.refuse(code, words, "train", config, "-o", self.path("run"))
            self.assertFalse(os.path.exists(self.path("run")))
        self.refuse(2, ["stages.2.learning_rate", "one optimiser for all stages"], "train", self.staged("gan"), "-o",
                    self.path("run"), "--set", "stages.2.learning_rate=0.001")
        self.refuse(2, "--set: unknown section of key 'stages.3.epochs'", "train",
                    self.staged("dbm", stages="\n  - {name: a, epochs: 1}"), "-o", self.path("run"), "--set",
                    "stages.3.epochs=2")

    def test_what_all_stages_share_is_for_those_that_read_it(self):
        stages = "\n  - {name: a, epochs: 1, objective: pretrain, layer: 1}\n  - {name: b, epochs: 1}"
        config = self.staged("dbm", train=COMMON + ", sampler: pt, temperatures: 3", stages=stages)
        self.succeed("train", config, "-o", self.path("run"), "--quiet")
        with open(self.path("run/config.yaml")) as file:  # which tells it by stage
            self.assertEqual(re.findall(r"sampler: (\w+)", file.read()), ["gibbs", "pt"])
        self.succeed("train", self.path("run/config.yaml"), "-o", self.path("again"), "--quiet")
        self.assert_same_run(self.path("again"), self.path("run"))
        self.refuse(2, ["train.dropout", "no stage takes it"], "train", config, "-o", self.path("bad"), "--set",
                    "train.dropout=0.2")
        # So is what belongs to a choice that only some of them take.
        choices = ("--set", "train.momentum=0.5", "--set", "stages.1.optimizer=adam", "--set", "train.chains=24", "--set",
                   "stages.1.estimator=cd")
        self.succeed("train", config, "-o", self.path("run"), "--quiet", "--overwrite", *choices)
        with open(self.path("run/config.yaml")) as file:
            text = file.read()
        self.assertEqual(re.findall(r" momentum: (\S+)", text), ["0", "0.5"])
        self.assertEqual(re.findall(r"^    chains: (\S+)", text, re.MULTILINE), ["0", "24"])
        self.refuse(2, ["stages.1.momentum", "does nothing without optimizer: sgd"], "train", config, "-o", self.path("bad"),
                    *choices, "--set", "stages.1.momentum=0.7")
        self.refuse(2, ["train.beta1", "no stage takes it"], "train", config, "-o", self.path("bad"), "--set", "train.beta1=0.5")
        self.refuse(2, ["train.batch", "each has its own"], "train", self.path("run/config.yaml"), "-o", self.path("bad"), "--set",
                    "train.batch=50")

    def test_what_did_nothing_in_an_earlier_run_does_not_shut_it(self):
        """Versions before wrote such settings into config.yaml and model.h5."""
        config = self.staged("dbm", stages="\n  - {name: a, epochs: 1, optimizer: adam, learning_rate: 0.002}")
        usual, useless = " momentum: 0 ", " momentum: 0.9 "
        for name in ("finished", "begun"):
            self.succeed("train", config, "-o", self.path(name), "--quiet")
        with open(self.path("begun/config.yaml")) as file:
            text = file.read()
        self.assertEqual(text.count(usual), 1)
        for again in (("--resume", self.path("begun")), (config, "-o", self.path("begun"))):
            self.write("begun/config.yaml", text.replace(usual, useless))
            os.unlink(self.path("begun/model.h5"))
            self.succeed("train", *again, "--quiet")
            self.assert_same_run(self.path("begun"), self.path("finished"))
        with edited(self.path("finished/model.h5")) as file:
            text = file.attrs["config"]
            self.assertIn(usual, text)
            file.attrs["config"] = text.replace(usual, useless)
        self.succeed("sample", self.path("finished"), "-n", "3", "--quiet")
        self.refuse(2, ["--set stages.1.momentum", "does nothing without"], "train", "--resume", self.path("finished"), "--set",
                    "stages.1.momentum=0.5")

    def test_settings_of_a_stage_that_change_the_result_are_refused(self):
        config = self.staged("dbm")
        self.succeed("train", config, "-o", self.path("run"), "--quiet")
        for words, change in (("stages.2.chains is 60, was 50", "stages.2.chains=60"),
                              ("stages.1.epochs is 7, was 6", "stages.1.epochs=7"),
                              ("stages.3.learning_rate is 0.1, was 0.002", "stages.3.learning_rate=0.1")):
            self.refuse(2, words, "train", "--resume", self.path("run"), "--set", change)
        more = ("--set", "stages.4.epochs=8")
        self.assertEqual(self.report("train", "--resume", self.path("run"), *more)["epochs"], 26)
        self.succeed("train", config, "-o", self.path("whole"), "--quiet", *more)
        self.assert_same_run(self.path("run"), self.path("whole"))
        one = self.staged("dbm", "one.yaml", stages="\n  - {name: only, epochs: 1}")
        self.succeed("train", one, "-o", self.path("one"), "--quiet")
        os.unlink(self.path("one/model.h5"))
        self.refuse(2, "4 stages, was 1", "train", config, "-o", self.path("one"))

    def test_a_discriminator_has_the_stages_optimiser_but_for_what_it_says(self):
        self.succeed("train", self.staged("gan"), "-o", self.path("run"), "--quiet", "--set", "discriminator.beta2=0.9")
        with open(self.path("run/config.yaml")) as file:
            text = file.read().partition("\ndiscriminator:")[2]
        for line in ("optimizer: adam", "beta1: 0.5", "learning_rate: 0.002", "beta2: 0.9"):
            self.assertIn(line, text)
        with h5py.File(self.path("run/checkpoint.h5")) as file:
            self.assertIn("adversary_moment2", file["optimizer"])
        # What only the discriminator's optimiser reads, it has from the section that all share.
        self.succeed("train", self.staged("gan", train=COMMON + ", beta1: 0.6", stages="""
  - {name: a, epochs: 1}
  - {name: b, epochs: 1}"""), "-o", self.path("shared"), "--quiet", "--set", "discriminator.optimizer=adam")
        with open(self.path("shared/config.yaml")) as file:
            self.assertIn("beta1: 0.6", file.read().partition("\ndiscriminator:")[2])
        self.succeed("train", self.path("shared/config.yaml"), "-o", self.path("again"), "--quiet")
        self.assert_same_run(self.path("again"), self.path("shared"))
        # With another optimiser, what belongs to the stages' one does not reach it.
        self.succeed("train", self.staged("gan"), "-o", self.path("sgd"), "--quiet", "--set", "discriminator.optimizer=sgd")
        with open(self.path("sgd/config.yaml")) as file:
            self.assertIn("beta1: 0.9", file.read().partition("\ndiscriminator:")[2])

    def test_divergence_names_the_stage(self):
        config = self.staged("dbm", stages="""
  - {name: calm, epochs: 1, objective: pretrain, layer: 1}
  - {name: wild, epochs: 9, learning_rate: 1000, momentum: 0.9}""")
        self.refuse(5, ["in stage 'wild'", "exploded", "after update", "lower its learning_rate (now 1000)"], "train",
                    config, "-o", self.path("run"), ranks=2)
        with h5py.File(self.path("run/checkpoint.h5")) as file:  # what was learnt before is kept
            self.assertEqual(file.attrs["stage"], "calm")


if __name__ == "__main__":
    main()
