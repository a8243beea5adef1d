"""From requests to files: synthesis and reconstruction, threads, the writer, throughput."""
