"""`python -m thrift_plugins.cli`."""

from thrift_plugins.cli import main

main()
