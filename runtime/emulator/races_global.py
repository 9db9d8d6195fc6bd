"""Race detection in global memory, between CTAs and inside them.

Placeholder for the launch-wide shadow; see ``GlobalRaces``.
"""

from __future__ import annotations
