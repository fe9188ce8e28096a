"""What the tests share: builders of files and graphs, drills and stand-ins. No test stands here."""
