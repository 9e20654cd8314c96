"""`python -m derain`, which `torchrun -m derain` needs, and the command itself."""

import gc
import sys

from derain.cli.interrupts import end_at_once_when_told, leave, take_all_as_ctrl_c


def main() -> None:
    """As :func:`derain.cli.app.main`, and signals are understood while libraries are still being loaded."""
    try:
        take_all_as_ctrl_c()
        gc.disable()  # what is loaded stays, and looking for garbage in it takes a fifth of the time of `derain --help`
        from derain.cli.app import main as command

        gc.freeze()
        gc.enable()
        command()
    except KeyboardInterrupt:
        end_at_once_when_told()
        print("interrupted", file=sys.stderr)
        leave()


if __name__ == "__main__":
    main()
