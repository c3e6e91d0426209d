"""The Faust shell: what users import, and the only place that knows faust."""
