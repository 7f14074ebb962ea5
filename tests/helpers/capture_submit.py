"""`simulation.submit` with the coordinator's app that records every message."""

import runpy

from fedapp.runtime import bundle

bundle.APP["components"]["serverapp"] = "tests.helpers.capture_app:app"
runpy.run_module("simulation.submit", run_name="__main__")
