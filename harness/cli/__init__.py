"""podyard's commands: each in a file of its own, imported here, heavy things imported only when a command runs."""

from __future__ import annotations

import sys


def main() -> None:
    """The console script. A user's mistake is one screen on stderr; only our own mistakes give tracebacks."""
    # --scheduler module:object finds what lies in the working directory, as `python -m` would.
    if "" not in sys.path:
        sys.path.insert(0, "")
    from harness.cli.app import app
    from harness.model.errors import UserError

    try:
        app(standalone_mode=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        raise SystemExit(130) from None
    except BrokenPipeError:
        # Whoever read our output has seen enough (podyard .. | head).
        sys.stderr.close()
        raise SystemExit(0) from None
