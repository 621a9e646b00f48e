"""`start`: a run whose initial parameters are those of another one."""
import os
import shutil
import signal

from harmonium import Case, finish, main, parameters, start, wait_for_rows


class Start(Case):
    def setUp(self):
        super().setUp()
        self.data = self.digits()
        self.first = self.train("first")

    def settings(self, train, model="hidden: [12, 8]"):
        return self.config(self.data, model=model, train=f"batch: 40, {train}", family="dbm")

    def train(self, name, *options, train="epochs: 2", ranks=0):
        self.succeed("train", self.settings(train), "-o", self.path(name), *options, ranks=ranks)
        return self.path(name)

    def from_first(self, name, *options, **settings):
        return self.train(name, "--set", f"start={self.first}", *options, **settings)

    def test_parameters_are_taken_over(self):
        first, new = parameters(self.first), parameters(self.train("new", train="epochs: 1, learning_rate: 0"))
        ours = parameters(self.from_first("ours", train="epochs: 1, learning_rate: 0"))
        for name in ("W1", "W2", "b", "c1", "c2", "base_rate"):
            self.assertTrue((ours[name] == first[name]).all(), name)
        self.assertFalse((new["W1"] == first["W1"]).any())

    def test_what_the_other_run_lacks_is_new(self):
        config = self.settings("epochs: 2, objective: classify", model="hidden: [12, 8], classes: 10")
        process = self.succeed("train", config, "-o", self.path("tuned"), "--set", f"start={self.first}")
        self.assertIn(f"starting from {self.first}; new are N1 N2 U e1 e2 d\n", process.stderr)
        back = self.succeed("train", self.settings("epochs: 1"), "-o", self.path("back"), "--set",
                            f"start={self.path('tuned')}")
        self.assertIn("; left there are N1 N2 U d e1 e2\n", back.stderr)
        first, tuned = parameters(self.first), parameters(self.path("tuned"))
        self.assertTrue((tuned["W1"] == first["W1"]).all())
        self.assertLess(abs(tuned["N1"][:784] - first["W1"]).max(), 0.1)  # unrolled from W1, and fine-tuned a little
        self.assertGreater(abs(tuned["N1"][:784] - first["W1"]).max(), 0)

    def test_the_same_bits_on_any_ranks_and_after_an_interruption(self):
        train = "epochs: 400, momentum: 0.5, monitor_every: 7"
        whole = self.from_first("whole", train=train)
        self.assert_same_run(self.from_first("two", "--set", "threads=2", train=train, ranks=2), whole)
        process = start("train", self.settings(train), "-o", self.path("parts"), "--set", f"start={self.first}")
        wait_for_rows(self.path("parts"), 5, process)
        process.send_signal(signal.SIGTERM)
        self.assertEqual(finish(process).returncode, 6)
        shutil.rmtree(self.first)  # a checkpoint has all that is needed
        self.succeed("train", "--resume", self.path("parts"))
        self.assert_same_run(self.path("parts"), whole)

    def test_what_cannot_be_a_start_is_said(self):
        config, origin = self.settings("epochs: 1"), f"start={self.first}"
        ours = ("train", config, "-o", self.path("ours"), "--set")
        self.refuse(3, "nowhere/model.h5: No such file or directory", *ours, f"start={self.path('nowhere')}")
        self.refuse(3, "/parameters/W1 has shape (784, 12), expected (784, 9)", *ours, origin, "--set", "model.hidden=[9, 8]")
        self.refuse(2, "is of family dbm, and this run of rbm", *ours, origin, "--set", "model.family=rbm", "--set",
                    "model.hidden=9")
        self.refuse(2, "is the folder that this run would overwrite", "train", config, "-o", self.first, "--overwrite",
                    "--set", origin)
        self.assertTrue(os.path.exists(os.path.join(self.first, "model.h5")))
        self.assertFalse(os.path.exists(os.path.join(self.path("ours"), "model.h5")))
        os.truncate(os.path.join(self.first, "model.h5"), 3000)
        self.refuse(3, "model.h5", *ours, origin)


if __name__ == "__main__":
    main()
