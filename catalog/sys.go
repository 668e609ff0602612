package catalog

// sysRelations are about what runs. Relations are named as a regclass shows them in the session that asks.
var sysRelations = []systemRelation{
	{"sys", "jobs", 'v', "relation text, state text, changes int8, error text?, started_at timestamptz", nil, true},
	{"sys", "errors", 'v', "relation text, at timestamptz, sqlstate text, message text, row_data jsonb", nil, true},
	{"sys", "watermarks", 'v', "relation text, view text, partition int8, state text, watermark timestamp?, rows int8, late_rows int8, null_times int8, future_rows int8, last_row_at timestamptz?", nil, true},
}

// sysComments are the comments of the relations of sys, and by name of their columns; "" is the relation's own.
var sysComments = map[string]map[string]string{
	"jobs": {
		"":           "the continuous queries that maintain materialized views and feed sinks, one row each",
		"relation":   "the view or sink",
		"state":      "running, finished (every input has ended) or failed",
		"changes":    "how many rows have been added to and taken from the result since the job started",
		"error":      "why the job has failed",
		"started_at": "when the job was started or last restored",
	},
	"errors": {
		"":         "rows that could not be evaluated and were left out, the latest 1000 of each relation",
		"relation": "the view or sink whose query failed",
		"at":       "when it happened",
		"sqlstate": "the error code",
		"message":  "the error message",
		"row_data": "the row, its values as text",
	},
	"watermarks": {
		"":            "how far event time has come: one row for each partition of each input with a watermark of each running view",
		"relation":    "the source or table that is read",
		"view":        "the view that reads it",
		"partition":   "the partition of the input, from 0",
		"state":       "active, idle (it does not hold the watermark back) or finished",
		"watermark":   "no row with an earlier event time is expected, in UTC; infinity at the end of the input",
		"rows":        "how many rows have come",
		"late_rows":   "how many rows came behind the watermark; counted for the view as a whole",
		"null_times":  "how many rows had no event time",
		"future_rows": "how many rows were too far in the future to advance the watermark",
		"last_row_at": "when the last row came",
	},
}
