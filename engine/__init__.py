"""The engine behind the `atk` commands and the `atk` module.

Nothing is imported here, so that a command pays only for what it uses.
"""

__version__ = "0.1.0"
