"""A command-line client (its command line follows the contract's arguments), fed one statement after another."""

import os
import subprocess
import sys

from app import Application


class ClientError(Exception):
    pass


class App(Application):
    def connect(self):
        if hasattr(self, "process"):
            self.process.kill()
            self.process.wait()
        self.process = subprocess.Popen(
            [*self.argv, "-h127.0.0.1", f"-P{self.port}", "-uapp", "-N", "-B", "-n", "--skip-reconnect", "shop"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env=os.environ | {"MYSQL_PWD": self.password},
        )
        self.run(f"SET @mark = {self.client}, time_zone = '+03:00'; SELECT 'set'", "set")

    def run(self, sql, expected):
        """Feed it and read one line, which is the end of it."""
        try:
            self.process.stdin.write(sql + ";\n")
            self.process.stdin.flush()
        except OSError as error:
            raise ClientError(0, f"{error} {self.process.stdout.read()}") from None
        line = self.process.stdout.readline().strip()
        if line != expected:
            code = line[6:].split(" ")[0].rstrip(":") if line.startswith("ERROR ") else "0"
            raise ClientError(int(code) if code.isdigit() else 0, line)

    def round(self, seq):
        self.run(
            f"BEGIN; UPDATE accounts SET balance = balance + 0 WHERE id = {self.client};"
            f"INSERT INTO entries (client, seq, note) VALUES ({self.client}, {seq}, 'é');"
            f"COMMIT; SELECT '{seq}', @mark, @@time_zone", f"{seq}\t{self.client}\t+03:00")


one = App(sys.argv, ClientError)
one.argv = sys.argv[5:]
one.main()
