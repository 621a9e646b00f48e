"""slurm/sweep.sbatch with three running tasks: the one that is requeued is requeued alone."""
import os
import signal
import time

from cluster import Cluster, main, rows_so_far

TASKS = ("1", "2", "3")


class Arrays(Cluster):
    def test_one_of_three_running_tasks_is_requeued_alone(self):
        """Ranks stand still but for the task in question, so that how fast a machine is does not matter. Two tasks fit on
        the first host; the third, whose job id is that of the whole array, is on the second."""
        config = self.training(epochs=150, more="ais: {temperatures: 100}\ncheckpoint: {steps: 50}")
        grid = self.write("grid", "seed=1\nseed=2\nseed=3")
        self.job = self.submit("sweep.sbatch", config, grid, self.path("sweep"),
                               options=("--array=1-3", "--time=30", "--cpus-per-task=2", "--signal=B:USR1@600"))
        for task in TASKS:
            self.hold(task)
        whole = next(task for task in TASKS if self.field(task, "JobId") == self.job)
        # By the signal of the warning.
        self.slurm("scancel", "--signal=USR1", "--batch", f"{self.job}_{whole}")
        self.assert_requeued_alone([whole], "stopped by SIGUSR1")
        # By its time limit, of which the warning comes ten minutes early.
        self.slurm("scontrol", "update", f"JobId={self.job}_{whole}", "TimeLimit=8")
        self.assert_requeued_alone([whole], "stopped by SIGUSR1")
        self.slurm("scontrol", "update", f"JobId={self.job}_{whole}", "TimeLimit=30")
        # By the loss of its node.
        host = self.field(whole, "NodeList")
        there = [task for task in TASKS if self.field(task, "NodeList") == host]
        self.assertLess(len(there), 3)
        self.kill_host(host)
        self.script("boot", host)
        self.assert_requeued_alone(there)
        for task in TASKS:
            self.signal(task, signal.SIGCONT)
        for task in TASKS:
            self.assertEqual(self.wait_for_end(f"{self.job}_{task}", 90), "COMPLETED", self.log())
        self.assertEqual(self.turns(), 3 + 2 + len(there), self.log())
        self.assert_same_run(self.path("sweep/1"), self.path("whole"))

    def field(self, task, name):
        record = " " + self.slurm("scontrol", "show", "job", f"{self.job}_{task}", "--oneliner")
        return record.split(f" {name}=")[1].split()[0]

    def signal(self, task, number):
        for rank in self.ranks_of(self.path(f"sweep/{task}")):
            os.kill(rank, number)

    def warned(self, task):
        """Does SIGUSR1 wait for its ranks, which stand still?"""
        pending = []
        for rank in self.ranks_of(self.path(f"sweep/{task}")):
            with open(f"/proc/{rank}/status") as status:
                masks = dict(line.split(":") for line in status)
            pending.append(int(masks["ShdPnd"], 16) >> (signal.SIGUSR1 - 1) & 1)
        return pending != [] and all(pending)

    def release(self, number):
        """Slurm holds a requeued task back for two minutes: ends the wait, after time for the hosts to clean up."""
        self.wait_until(lambda: self.state(number) == "PENDING", 90, f"the requeueing of task {number}")
        time.sleep(4)
        self.slurm("scontrol", "update", f"JobId={number}", "StartTime=now")
        self.wait_until(lambda: self.state(number) == "RUNNING", 60, f"another turn of task {number}")

    def hold(self, task):
        """Stops the ranks of the task, when they train and know what a signal means."""
        run = self.path(f"sweep/{task}")
        rows = rows_so_far(run)
        self.wait_until(lambda: rows_so_far(run) > max(rows, 1) and self.ranks_of(run), 60, f"rows of task {task}")
        self.signal(task, signal.SIGSTOP)

    def assert_requeued_alone(self, tasks, words=None):
        """Only `tasks` are requeued; they go on and stand still again."""
        others = {task: (self.field(task, "Restarts"), self.ranks_of(self.path(f"sweep/{task}"))) for task in TASKS
                  if task not in tasks}
        before = {task: int(self.field(task, "Restarts")) for task in tasks}
        if words:
            self.wait_until(lambda: self.warned(tasks[0]), 60, f"the warning of task {tasks[0]}")
            self.signal(tasks[0], signal.SIGCONT)
        for task in tasks:
            self.release(f"{self.job}_{task}")
            self.hold(task)
            self.assertEqual(int(self.field(task, "Restarts")), before[task] + 1)
            self.assertIn(words or "going on with", self.log(f"*_{task}.log"))
        for task, (restarts, ranks) in others.items():
            self.assertEqual((self.field(task, "JobState"), self.field(task, "Restarts"), self.ranks_of(self.path(f"sweep/{task}"))),
                             ("RUNNING", restarts, ranks), self.log())


if __name__ == "__main__":
    main()
