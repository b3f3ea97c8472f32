"""Tests of the package. No call is left alone by chance, but in the tests of the holdout, which say so."""

import os

os.environ["THRIFT_HOLDOUT"] = "0"
