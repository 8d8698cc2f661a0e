"""`python -m tracesidecar`."""

import sys

from tracesidecar.cli import main

sys.exit(main())
