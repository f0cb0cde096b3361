"""Runs the converter: `llmservice convert SOURCE TARGET [--int8]`."""

from __future__ import annotations

import sys

from llmservice.convert.cli import main

sys.exit(main())
