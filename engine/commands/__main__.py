"""`python -m engine.commands`: what `bin/atk` starts."""

from __future__ import annotations

import sys

from engine.commands import main

sys.exit(main())
