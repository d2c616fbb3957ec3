"""``python -m tools.results_page``: see ``render.py``."""

import sys

from tools.results_page.render import main

sys.exit(main())
