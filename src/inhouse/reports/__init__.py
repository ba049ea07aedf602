"""Pages that people decide with: every number with its basis. Renders; writes no state and calls no model.

`reports.decision` is the decision page, `reports.costs` what was spent and whether the invoice agrees.
"""

from inhouse.reports.pricing import OwnRates, Pricer
from inhouse.reports.settings import CostsSettings, TeamSettings

__all__ = ["CostsSettings", "OwnRates", "Pricer", "TeamSettings"]
