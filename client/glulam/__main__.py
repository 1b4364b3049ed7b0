"""`python -m glulam` is `glulam`."""

import sys

from glulam.commands import main

sys.exit(main())
