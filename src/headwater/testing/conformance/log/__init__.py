"""The promises of `headwater.ports.log`: streams and the log are read whole and in order."""

from headwater.testing.conformance.log.cursors import CursorsConformance
from headwater.testing.conformance.log.filters import FiltersConformance
from headwater.testing.conformance.log.news import NewsConformance
from headwater.testing.conformance.log.overview import OverviewConformance
from headwater.testing.conformance.log.pages import PagesConformance
from headwater.testing.conformance.log.streams import StreamsConformance


class LogConformance(
    StreamsConformance,
    OverviewConformance,
    PagesConformance,
    FiltersConformance,
    CursorsConformance,
    NewsConformance,
):
    """What readers of streams and of the log can rely on."""
