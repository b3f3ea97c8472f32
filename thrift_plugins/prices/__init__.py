"""What a usage costs: of a model, at a date, in a prompt-size tier, in a processing mode, to the nano-dollar.

Prices come from the snapshot inside the installed genai-prices, never from the network and never from one that the
app updates for itself, so that an event can name the prices it was booked with. Importing this loads none of them.
"""

from thrift_plugins.prices.files import read_prices
from thrift_plugins.prices.names import split_model
from thrift_plugins.prices.rates import Rates, processing_in, processing_of
from thrift_plugins.prices.table import Prices
from thrift_plugins.types import Processing

__all__ = ["Prices", "Processing", "Rates", "processing_in", "processing_of", "read_prices", "split_model"]
