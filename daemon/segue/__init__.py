"""Segue: changes the production MySQL or MariaDB database under a running application.

Two environments, *blue* and *green*, are labels. Two roles, *active* and *standby*, are what the code works
with: replication flows active -> standby, clients reach active through the proxy, a switchover swaps the roles.
See docs/architecture.md for the processes and the rooms.
"""

__version__ = "0.1.0"
