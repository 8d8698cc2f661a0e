"""`python -m tracesidecar`."""

import os
import sys

if not sys.flags.safe_path and sys.path[0] in {"", os.getcwd()}:
    del sys.path[0]  # `-m` puts the current directory first: whoever writes there must not run here

from tracesidecar.cli import main

sys.exit(main())
