"""JobQueue: accepts requests now and answers them later."""
