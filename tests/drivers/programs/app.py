"""The contract's loop for programs in Python. Runs on the lab's Python as well as on the tests' own."""

import os
import time


class Application:
    def __init__(self, argv, errors):
        self.port, self.password, self.client, self.end = int(argv[1]), argv[2], int(argv[3]), argv[4]
        self.errors = errors

    def check(self, mark, zone):
        if (int(mark or -1), str(zone)) != (self.client, "+03:00"):
            print("lost", mark, zone, flush=True)

    def connect(self):
        raise NotImplementedError

    def round(self, seq):
        raise NotImplementedError

    def main(self):
        seq, connected = 0, False
        while not os.path.exists(self.end):
            seq += 1
            try:
                if not connected:
                    self.connect()
                    connected = True
                self.round(seq)
                print("ok", seq, flush=True)
            except self.errors as error:
                code = getattr(getattr(error, "orig", error), "args", (0,))[0]
                print("error", code, str(error).replace("\n", " "), flush=True)
                connected = False
                time.sleep(0.05)
            time.sleep(0.005)
        print("bye", flush=True)
