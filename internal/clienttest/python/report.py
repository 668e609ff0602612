"""What the programs of this folder print: a line for each mode of a client, which the test reads."""
import sys
import time


def line(client, mode, first=None, cancel=None, state="", after=False):
    show = lambda v: "-" if v is None else f"{v:.3f}"
    print("row", client, mode, show(first), show(cancel), state or "-", "yes" if after else "no", sep="\t", flush=True)


def check(client, what, ok, detail=""):
    print("check", client, what, "ok" if ok else "wrong", str(detail).replace("\n", " ").replace("\t", " "), sep="\t", flush=True)


def seen(client, version):
    print("version", client, version, sep="\t", flush=True)


class Clock:
    """Seconds since it was made."""

    def __init__(self):
        self.start = time.monotonic()

    def __call__(self):
        return time.monotonic() - self.start


def guarded(client, mode, f):
    """Runs a mode; what it raises is a line that fails the test, and the next mode runs all the same."""
    try:
        f()
    except Exception as e:  # the report of any failure is what the program is for
        check(client, mode, False, f"{type(e).__name__}: {e}")


PORT = sys.argv[1] if len(sys.argv) > 1 else "5432"
STREAM = "SELECT auction, price FROM ticks EMIT CHANGES"
