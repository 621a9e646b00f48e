"""Classification from the command line: what is told is what numpy tells from the parameters; bad labels are refused."""
import unittest

import h5py
import numpy

from harmonium import Case, edited, main, parameters

STAGES = """stages:
  - {name: features, epochs: 4, learning_rate: 0.05, batch: 40}
  - {name: classes, objective: classify, epochs: 12, learning_rate: 0.2, momentum: 0.5, batch: 40}
"""


def sigmoid(x):
    return 1 / (1 + numpy.exp(-x))


def softmax(x):
    e = numpy.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


class Classification(Case):
    def train(self, model="family: rbm, hidden: 40, classes: 10", stages=STAGES):
        data = self.digits(rows=1000, test_rows=500)
        config = self.write("config.yaml", f"data: {{file: {data}, binarize: threshold}}\nmodel: {{{model}}}\n{stages}")
        self.succeed("train", config, "-o", self.path("run"), "--overwrite", "--quiet")
        return self.path("run")

    def split(self, name):
        with h5py.File(self.path("digits.h5")) as file:
            return (file[name + "/x"][...] >= 127.5).astype(numpy.float64), file[name + "/y"][...]

    def test_errors_and_confusion_are_those_of_the_parameters(self):
        folder = self.train()
        report = self.report("evaluate", folder, "--method", "classification", ranks=2)["classification"]
        net = parameters(folder)
        for split in ("train", "test"):
            x, y = self.split(split)
            z = sigmoid(x @ net["N1"].astype(float) + net["e1"]) @ net["U"].astype(float) + net["d"]
            told, log_sum = z.argmax(axis=1), numpy.log(numpy.exp(z).sum(axis=1))
            error = float((told != y).mean())
            self.assertAlmostEqual(report[split + "_error"], error, delta=1e-12)
            self.assertAlmostEqual(report[split + "_error_stderr"], (error * (1 - error) / len(y)) ** 0.5, delta=1e-12)
            loss = log_sum - z[numpy.arange(len(y)), y]
            self.assertAlmostEqual(report[split + "_cross_entropy"], float(loss.mean()), delta=1e-4)
            self.assertAlmostEqual(report[split + "_cross_entropy_stderr"],
                                   float(loss.std(ddof=1)) / len(y) ** 0.5, delta=1e-5)
            confusion = numpy.zeros((10, 10))
            numpy.add.at(confusion, (y, told), 1)
            with h5py.File(folder + "/model.h5") as file:
                self.assertEqual(list(file["evaluation"]), ["classification"])  # nothing that was not asked for
                stored = file["evaluation/classification"]
                numpy.testing.assert_array_equal(stored[split + "_confusion"][...], confusion)
                self.assertEqual(stored[split + "_error"][()], report[split + "_error"])
        self.assertLess(report["test_error"], 0.2)  # 0.9 by chance
        text = self.succeed("evaluate", folder, "--method", "classification").stdout
        self.assertIn("test examples by label (row)", text)
        # It is among the methods that apply, and the same bits on other ranks.
        all_methods = self.report("evaluate", folder, "--set", "ais.temperatures=20", "--set", "ais.burn_in=5")
        self.assertEqual(all_methods["classification"], report)
        self.assertIn("reverse_ais", all_methods)

    def test_a_dbm_classifies_with_its_marginals(self):
        folder = self.train(model="family: dbm, hidden: [40, 30], classes: 10")
        report = self.report("evaluate", folder, "--method", "classification")["classification"]
        net = {name: value.astype(float) for name, value in parameters(folder).items()}
        x, y = self.split("test")
        below = x @ net["W1"]
        q1 = sigmoid(2 * below + net["c1"])
        q2 = sigmoid(q1 @ net["W2"] + net["c2"])
        for _ in range(10):
            q1 = sigmoid(below + q2 @ net["W2"].T + net["c1"])
            q2 = sigmoid(q1 @ net["W2"] + net["c2"])
        hidden = sigmoid(numpy.hstack([x, q2]) @ net["N1"] + net["e1"])
        z = sigmoid(hidden @ net["N2"] + net["e2"]) @ net["U"] + net["d"]
        self.assertAlmostEqual(report["test_error"], float((z.argmax(axis=1) != y).mean()), delta=1e-12)
        self.assertLess(report["test_error"], 0.5)

    def test_a_dbm_with_label_units_tells_them_by_mean_field(self):
        model = "family: dbm, hidden: [40, 30], classes: 10, label_units: true, mean_field_updates: 5"
        for stages in ("train: {epochs: 60, batch: 40, learning_rate: 0.05}", STAGES):
            folder = self.train(model, stages)
            report = self.report("evaluate", folder, "--method", "classification", ranks=2)["classification"]
            net = {name: value.astype(float) for name, value in parameters(folder).items()}
            x, y = self.split("test")
            below = x @ net["W1"]
            q1 = sigmoid(2 * below + net["c1"])
            q2 = sigmoid(q1 @ net["W2"] + net["c2"])
            labels = softmax(q2 @ net["W_label"] + net["b_label"])
            network = stages is STAGES
            for _ in range(5 if network else 300):
                q1, labels = sigmoid(below + q2 @ net["W2"].T + net["c1"]), softmax(q2 @ net["W_label"] + net["b_label"])
                q2 = sigmoid(q1 @ net["W2"] + labels @ net["W_label"].T + net["c2"])
            if network:  # told by the network, which has the marginals of the second layer as inputs
                hidden = sigmoid(numpy.hstack([x, q2]) @ net["N1"] + net["e1"])
                labels = softmax(sigmoid(hidden @ net["N2"] + net["e2"]) @ net["U"] + net["d"])
            self.assertAlmostEqual(report["test_error"], float((labels.argmax(axis=1) != y).mean()), delta=1e-12)
            self.assertAlmostEqual(report["test_cross_entropy"],
                                   float(-numpy.log(labels[numpy.arange(len(y)), y]).mean()), delta=1e-3)
            self.assertLess(report["test_error"], 0.5)
            self.assertEqual(net["W_label"].shape, (30, 10))

    def test_a_machine_with_label_units_gives_samples_and_pictures(self):
        for model, count in (("rbm, hidden: 40", 5), ("rbm, hidden: 40", 20),  # shards of one row and of several
                             ("dbm, hidden: [40, 30]", 20), ("dbm, hidden: [40]", 5)):
            folder = self.train(f"family: {model}, classes: 10, label_units: true",
                                "train: {epochs: 4, batch: 40, learning_rate: 0.05}")
            self.succeed("sample", folder, "-n", count, "--steps", 30, "--quiet", ranks=2)
            with h5py.File(folder + "/model.h5") as file:
                drawn, mean = file["samples/gibbs"][...], file["samples/gibbs_mean"][...]
            self.assertEqual((drawn.shape, mean.shape), ((count, 784), (count, 784)))
            # Draws of the last step against its means, unit by unit.
            log_p = numpy.log(numpy.where(drawn > 0, mean, 1 - mean)).mean(axis=1)
            entropy = -(mean * numpy.log(mean) + (1 - mean) * numpy.log(1 - mean)).mean(axis=1)
            numpy.testing.assert_allclose(-log_p, entropy, rtol=0.4)

    def samples(self, folder, *arguments, **options):
        """Rows that are drawn, and the class of each."""
        self.succeed("sample", folder, "-n", 30, "--steps", 30, "--quiet", *arguments, **options)
        with h5py.File(folder + "/model.h5") as file:
            return file["samples/gibbs"][...], file["samples/gibbs_label"][...]

    def test_samples_of_a_class(self):
        def log_p_of_labels(net, x):  # Larochelle & Bengio 2008, eq. 2
            inputs = x @ net["W"][:784] + net["c"]
            scores = [net["b"][784 + y] + numpy.logaddexp(0, inputs + net["W"][784 + y]).sum(axis=1) for y in range(10)]
            return numpy.log(softmax(numpy.array(scores).T))

        stages = {"rbm, hidden: 40": "train: {epochs: 200, batch: 40, learning_rate: 0.05, centered: true}",
                  "dbm, hidden: [40, 30]": "train: {epochs: 4, batch: 40, learning_rate: 0.05}",
                  "dbn, hidden: [40, 30]": """stages:
  - {name: one, objective: pretrain, layer: 1, epochs: 2, batch: 40}
  - {name: two, objective: pretrain, layer: 2, epochs: 2, batch: 40}
"""}
        for model in stages:
            folder = self.train(f"family: {model}, classes: 10, label_units: true", stages[model])
            free, told = self.samples(folder)
            self.assertTrue(set(told) <= set(range(10)) and len(set(told)) > 1)
            each, kept = self.samples(folder, "--label", "each")
            numpy.testing.assert_array_equal(kept, numpy.arange(30) % 10)
            again, _ = self.samples(folder, "--label", "each", ranks=2)
            numpy.testing.assert_array_equal(each, again)
            seven, kept = self.samples(folder, "--label", 7)
            numpy.testing.assert_array_equal(kept, 7)
            numpy.testing.assert_array_equal(seven[7::10], each[7::10])  # the same chains
            if "rbm" in model:  # trained for long enough that labels count
                self.assertFalse(numpy.array_equal(free, each))
                net = {name: value.astype(float) for name, value in parameters(folder).items()}
                p = numpy.exp(log_p_of_labels(net, each)[numpy.arange(30), numpy.arange(30) % 10])
                self.assertGreater(p.mean(), 0.2)  # 0.1 by chance
                self.assertIn("class", h5py.File(folder + "/model.h5")["samples/gibbs_label"].attrs["description"])
            for label in ("10", "-1", "seven", "7x", ""):
                self.refuse(2, [f"--label: '{label}' is not a class, 0 to 9, or each"], "sample", folder, "--label", label,
                            ranks=2 if label == "10" else 0)
            self.refuse(2, ["stored beside samples"], "sample", folder, "--name", "gibbs_label")
        folder = self.train()
        self.refuse(2, ["--label: this rbm has no label units"], "sample", folder, "--label", "7")

    def test_a_model_without_classes_says_so(self):
        folder = self.train(model="family: rbm, hidden: 10", stages="train: {epochs: 1, batch: 40}")
        self.refuse(2, ["has not learnt to tell classes", "model.classes"], "evaluate", folder, "--method",
                    "classification", ranks=2)
        self.refuse(2, ["objective classify needs classes"], "train", self.path("config.yaml"), "-o",
                    self.path("other"), "--set", "train.objective=classify")
        self.refuse(2, ["objective classify", "leave model.label_units out"], "train", self.path("config.yaml"), "-o",
                    self.path("other"), "--set", "train.objective=classify", "--set", "model.classes=10", "--set",
                    "model.label_units=true")

    def test_bad_labels_are_refused(self):
        self.train()
        config = self.path("config.yaml")
        self.refuse(3, ["digits.h5: /train/y", "the label of row", "with 3 classes"], "train", config, "-o",
                    self.path("other"), "--set", "model.classes=3", ranks=2)
        with edited(self.path("digits.h5")) as file:
            del file["train/y"]
        self.refuse(3, ["has no labels (/train/y)", "model.classes is 10"], "train", config, "-o", self.path("other"))
        self.refuse(3, ["has no labels (/train/y)"], "evaluate", self.path("run"), "--method", "classification")
        self.refuse(2, ["`layer`", "must be 0 to 2, not 3"], "train", config, "-o", self.path("other"), "--set",
                    "stages.2.layer=3", "--set", "model.classes=10", "--set", f"data.file={self.whole_digits()}")

    def whole_digits(self):
        self.succeed("import", "synth", "--kind", "digits", "--rows", 400, "-o", self.path("whole.h5"))
        return self.path("whole.h5")


if __name__ == "__main__":
    main()
