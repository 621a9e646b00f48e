"""A disk that is full during a checkpoint, a row of metrics or the final model: exit code 4, nothing half under a final name,
and the same command goes on when there is room."""
import os

import h5py

from faults import Broken, main, messages, parameters, run, said


class FullDisk(Broken):
    def sizes(self):
        return {name: os.path.getsize(os.path.join(self.whole, name)) // 1024 for name in os.listdir(self.whole)}

    def test_any_amount_of_room(self):
        config = self.begin(epochs=30)
        sizes = self.sizes()
        everything = sum(sizes.values()) + sizes["checkpoint.h5"]  # the new one lies beside two old ones for a moment
        codes = []
        for room in [everything * part // 12 for part in range(2, 15)]:
            disk = self.small_disk(room + 40)
            folder = disk + "/run"
            process = run("train", config, "-o", folder, "--quiet", ranks=2)
            codes.append(process.returncode)
            left = os.listdir(folder) if os.path.exists(folder) else []
            self.assertEqual([name for name in left if "tmp" in name or "lock" in name], [], room)
            if process.returncode == 0:
                self.assert_same_run(folder, self.whole)
                continue
            self.assertEqual(process.returncode, 4, said(process))
            self.assertEqual(len(messages(process)), 1, said(process))
            self.assertRegex(messages(process)[0], "No space left|cannot be written")
            self.assertNotIn("model.h5", left)
            self.grow(disk)
            self.succeed("train", config, "-o", folder, "--quiet")
            self.assert_same_run(folder, self.whole)
        self.assertIn(4, codes)
        self.assertEqual(codes[-1], 0)

    def test_full_at_the_end(self):
        """The last checkpoint fits, the model does not: only the model is left to do."""
        config = self.begin(epochs=30, more="checkpoint: {seconds: 0}")
        sizes = self.sizes()
        disk = self.small_disk(sizes["checkpoint.h5"] + sizes["metrics.h5"] + sizes["model.h5"] // 2 + 24)
        folder = disk + "/run"
        self.refuse(4, "model.h5", "train", config, "-o", folder, "--quiet", ranks=2)
        with h5py.File(folder + "/checkpoint.h5") as file:
            self.assertEqual(file.attrs["epoch"], 30)
        self.grow(disk)
        report = self.report("train", config, "-o", folder)
        self.assertEqual(report["resumed_from"], report["updates"])
        self.assert_same_run(folder, self.whole)

    def grow(self, disk):
        import subprocess
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)


if __name__ == "__main__":
    main()
