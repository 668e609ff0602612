package fn

var procOIDs, opOIDs = map[string]uint32{}, map[string]uint32{}
