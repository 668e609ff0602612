package catalog

// sysRelations are about what runs. Relations are named as a regclass shows them in the session that asks.
var sysRelations = []systemRelation{
	{"sys", "jobs", 'v', "relation text, state text, rows_read int8, rows_stored int8?, changes int8, state_rows int8?, memory int8?, on_disk int8?, error text?, started_at timestamptz", nil, true},
	{"sys", "errors", 'v', "relation text, at timestamptz, sqlstate text, message text, row_data jsonb", nil, true},
	{"sys", "watermarks", 'v', "relation text, view text?, pid int4?, partition int8, state text, watermark timestamp?, rows int8, late_rows int8, null_times int8, future_rows int8, last_row_at timestamptz?", nil, true},
	{"sys", "late", 'v', "relation text?, view text?, pid int4?, policy text, target text?, late_rows int8, last_late_at timestamptz?, last_watermark timestamp?, last_window_end timestamp?, last_row jsonb?", nil, true},
	{"sys", "bad_data", 'v', "relation text, policy text, target text?, bad_rows int8, last_at timestamptz?, place text?, sqlstate text?, error text?", nil, true},
}

// sysComments are the comments of the relations of sys, and by name of their columns; "" is the relation's own.
var sysComments = map[string]map[string]string{
	"jobs": {
		"":            "the continuous queries that maintain materialized views and feed sinks, one row each",
		"relation":    "the view or sink",
		"state":       "filling (it reads what there is and is not there yet), running, finished (every input has ended), failed, or of a sink stopped (by a restart)",
		"rows_read":   "how many rows and changes it has read",
		"rows_stored": "how many stored rows it began, or begins, with",
		"changes":     "how many rows have been added to and taken from the result since the job started",
		"state_rows":  "how many rows and groups its operators keep, where they count them",
		"memory":      "how many bytes of memory their state takes, where they count it",
		"on_disk":     "how many bytes of it are on disk, since they did not fit the memory",
		"error":       "why the job has failed",
		"started_at":  "when the job was started or last restored",
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
		"":            "how far event time has come: one row for each partition of each input with a watermark of each running view and continuous query",
		"relation":    "the source or table that is read",
		"view":        "the view that reads it; NULL: a query of a session",
		"pid":         "the session whose query reads it",
		"partition":   "the partition of the input, from 0",
		"state":       "active, idle (it does not hold the watermark back) or finished",
		"watermark":   "no row with an earlier event time is expected, in UTC; infinity at the end of the input",
		"rows":        "how many rows have come",
		"late_rows":   "how many rows came too late for every window of the query",
		"null_times":  "how many rows had no event time",
		"future_rows": "how many rows were too far in the future to advance the watermark",
		"last_row_at": "when the last row came",
	},
	"late": {
		"":                "late rows: one row for each relation with a watermark of each running view and continuous query",
		"relation":        "the source or table whose rows are late; NULL: it is not known of which rows they were made",
		"view":            "the view that reads it; NULL: a query of a session",
		"pid":             "the session whose query reads it",
		"policy":          "what becomes of them: drop, error or table",
		"target":          "the table that they go to",
		"late_rows":       "how many there were",
		"last_late_at":    "when the last one came",
		"last_watermark":  "the watermark before it, in UTC",
		"last_window_end": "the end of the last window that it would have been in, in UTC",
		"last_row":        "the row, its values as text: the columns that the query reads",
	},
	"bad_data": {
		"":         "rows that could not be decoded and were left out, since the engine was started; one row for each relation with the option bad_data",
		"relation": "the source or table",
		"policy":   "what becomes of them: drop or table",
		"target":   "the table that they go to",
		"bad_rows": "how many there were; a source that is read twice counts twice",
		"last_at":  "when the last one was met",
		"place":    "where the last one stood",
		"sqlstate": "the error code of the last one",
		"error":    "the error message of the last one",
	},
}
