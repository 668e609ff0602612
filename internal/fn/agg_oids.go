package fn

// aggOIDs are the OIDs of pg_proc, by name and argument types.
var aggOIDs = map[string]uint32{}
