"""What is in a process's memory, keys and updates above all, does not become a file: no core dump of it, and nobody's debugger on it.

Swap is the machine's to keep from it: the kits' units and containers ask for none. Python cannot wipe what it has once held.
"""

import ctypes
import resource
import sys

PR_SET_DUMPABLE = 4


def keep_memory_private() -> None:
    """Leave no core file of this process, and let no other process of the same user attach to it or read its memory.

    The limit goes over to children; that nobody may attach (Linux's prctl(2)) does not outlast another program, so each says it for itself.
    It also stops cores that go to a program instead of a file (core(5)), which the limit does not.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
