"""cmake --install puts program, library, headers, package file and licence where they belong: another project builds against them."""
import os
import subprocess
import unittest

from harmonium import PROGRAM, Case

CMAKE = """cmake_minimum_required(VERSION 3.22)
project(user C)
find_package(harmonium REQUIRED)
add_executable(user user.c)
target_link_libraries(user PRIVATE harmonium::harmonium_library)
"""
USER = """#include <models/model.h>
#include <stdio.h>
int main(void) { printf("%s\\n", hm_model_find("rbm")->describe); return 0; }
"""


class Install(Case):
    def test_another_project_builds_against_it(self):
        def done(*command):
            process = subprocess.run(command, capture_output=True, text=True)
            self.assertEqual(process.returncode, 0, process.stdout + process.stderr)
            return process.stdout
        prefix = self.path("prefix")
        done("cmake", "--install", os.path.dirname(PROGRAM), "--prefix", prefix)
        self.assertIn("harmonium 0.", done(prefix + "/bin/harmonium", "--version"))
        for document in ("LICENSE", "CITATION.cff"):
            self.assertTrue(os.path.getsize(f"{prefix}/share/doc/harmonium/{document}") > 0)
        self.write("CMakeLists.txt", CMAKE)
        self.write("user.c", USER)
        done("cmake", "-S", self.folder, "-B", self.path("build"), f"-DCMAKE_PREFIX_PATH={prefix}")
        done("cmake", "--build", self.path("build"))
        self.assertIn("restricted Boltzmann machine", done(self.path("build/user")))


if __name__ == "__main__":
    unittest.main()
