"""The queries, a program each: `NEXMARK_RUN=… faust -A bench.nexmark.queries.q5 worker` runs one by itself."""
