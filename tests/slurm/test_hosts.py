"""mpirun over TCP between two hosts, each with a network, a name and a /tmp of its own: the same bits as on one."""
import os
import subprocess

from cluster import MPI, Cluster, main


class Hosts(Cluster):
    kind = "hosts"

    def mpirun(self, slots, *arguments):
        """The program on the hosts, started from n1."""
        hosts = ",".join(f"n{host}:{count}" for host, count in enumerate(slots, 1))
        command = ["mpirun", "--host", hosts, "-n", str(sum(slots)), "--map-by", "slot", "--bind-to", "none", "--mca",
                   "plm_rsh_agent", os.path.join(self.scripts, "agent.sh"), "--mca", "btl", "tcp,vader,self", self.program, *arguments]
        environment = " ".join(f"{name}={value}" for name, value in {**MPI, "HARMONIUM_CLUSTER": self.cluster}.items())
        process = self.script("on", "n1", "env", *environment.split(), *map(str, command))
        return process.stdout

    def test_two_hosts_make_the_same_bits_as_one(self):
        config = self.training(epochs=40, k=1)
        for slots in ((1, 1), (2, 2)):
            self.mpirun(slots, "train", config, "-o", self.path("run"), "--overwrite", "--quiet")
            self.assert_same_run(self.path("run"), self.path("whole"))

    def test_the_ranks_really_are_on_two_hosts(self):
        import json
        report = json.loads(self.mpirun((2, 2), "doctor", "--json"))
        self.assertEqual((report["ranks"], report["ranks_on_host"]), (4, 2))
        self.assertEqual(report["scalapack_check"], "exact")


if __name__ == "__main__":
    main()
