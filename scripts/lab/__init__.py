"""The lab: real MySQL and MariaDB servers and tools for tests, demo and benchmarks, without root and Docker.

Enters: names of package sets and servers. Leaves: running servers on loopback ports that die with their owner and
cannot fill the disk, and command lines for clients and tools. Knows nothing of Segue but the accounts it needs.
"""

from lab.deployment import Deployment
from lab.fetch import LabError, Tool, tool
from lab.server import Lab, Server

__all__ = ["Deployment", "Lab", "LabError", "Server", "Tool", "tool"]
