"""`kill -9` of server, worker and database: nothing acknowledged is lost, nothing half done is visible."""
