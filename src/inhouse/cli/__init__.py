"""The door: reads configuration, builds objects, wires rooms, starts processes. No logic worth testing alone.

Nothing is re-exported: the command line starts at `inhouse.cli.app`, each process at `inhouse.cli.NAME_process`,
so that a gateway worker loads only what it needs.
"""

__all__: list[str] = []
