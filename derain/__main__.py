"""`python -m derain`, which `torchrun -m derain` needs, and the command itself."""

import gc
import sys


def main() -> None:
    """As :func:`derain.cli.app.main`, and Ctrl-C is understood while the libraries are still being loaded."""
    try:
        gc.disable()  # what is loaded stays, and looking for garbage in it takes a fifth of the time of `derain --help`
        from derain.cli.app import main as command

        gc.freeze()
        gc.enable()
        command()
    except KeyboardInterrupt:
        from derain.cli.interrupts import end_at_once_on_ctrl_c

        end_at_once_on_ctrl_c()
        print("interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
