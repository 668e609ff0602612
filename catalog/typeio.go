package catalog

// ioProc is a function of pg_proc that converts a type; the zero value is none.
type ioProc struct {
	oid  uint32
	name string
}

// typeIO names the functions that pg_type has for a type: drivers tell types apart, arrays above all, by them.
// They are in the order of pg_type's columns, of which ioColumns are the names.
type typeIO [6]ioProc

var ioColumns = [len(typeIO{})]string{"typinput", "typoutput", "typreceive", "typsend", "typmodin", "typmodout"}

// arrayIO is of every array type.
var arrayIO = typeIO{{750, "array_in"}, {751, "array_out"}, {2400, "array_recv"}, {2401, "array_send"}, {}, {}}

// typeIOs are those of the other types, by pg_type.typname.
var typeIOs = map[string]typeIO{
	"bool":               {{1242, "boolin"}, {1243, "boolout"}, {2436, "boolrecv"}, {2437, "boolsend"}, {}, {}},
	"bytea":              {{1244, "byteain"}, {31, "byteaout"}, {2412, "bytearecv"}, {2413, "byteasend"}, {}, {}},
	"char":               {{1245, "charin"}, {33, "charout"}, {2434, "charrecv"}, {2435, "charsend"}, {}, {}},
	"name":               {{34, "namein"}, {35, "nameout"}, {2422, "namerecv"}, {2423, "namesend"}, {}, {}},
	"int8":               {{460, "int8in"}, {461, "int8out"}, {2408, "int8recv"}, {2409, "int8send"}, {}, {}},
	"int2":               {{38, "int2in"}, {39, "int2out"}, {2404, "int2recv"}, {2405, "int2send"}, {}, {}},
	"int2vector":         {{40, "int2vectorin"}, {41, "int2vectorout"}, {2410, "int2vectorrecv"}, {2411, "int2vectorsend"}, {}, {}},
	"int4":               {{42, "int4in"}, {43, "int4out"}, {2406, "int4recv"}, {2407, "int4send"}, {}, {}},
	"regproc":            {{44, "regprocin"}, {45, "regprocout"}, {2444, "regprocrecv"}, {2445, "regprocsend"}, {}, {}},
	"text":               {{46, "textin"}, {47, "textout"}, {2414, "textrecv"}, {2415, "textsend"}, {}, {}},
	"oid":                {{1798, "oidin"}, {1799, "oidout"}, {2418, "oidrecv"}, {2419, "oidsend"}, {}, {}},
	"tid":                {{48, "tidin"}, {49, "tidout"}, {2438, "tidrecv"}, {2439, "tidsend"}, {}, {}},
	"xid":                {{50, "xidin"}, {51, "xidout"}, {2440, "xidrecv"}, {2441, "xidsend"}, {}, {}},
	"oidvector":          {{54, "oidvectorin"}, {55, "oidvectorout"}, {2420, "oidvectorrecv"}, {2421, "oidvectorsend"}, {}, {}},
	"pg_node_tree":       {{195, "pg_node_tree_in"}, {196, "pg_node_tree_out"}, {197, "pg_node_tree_recv"}, {198, "pg_node_tree_send"}, {}, {}},
	"json":               {{321, "json_in"}, {322, "json_out"}, {323, "json_recv"}, {324, "json_send"}, {}, {}},
	"float4":             {{200, "float4in"}, {201, "float4out"}, {2424, "float4recv"}, {2425, "float4send"}, {}, {}},
	"float8":             {{214, "float8in"}, {215, "float8out"}, {2426, "float8recv"}, {2427, "float8send"}, {}, {}},
	"unknown":            {{109, "unknownin"}, {110, "unknownout"}, {2416, "unknownrecv"}, {2417, "unknownsend"}, {}, {}},
	"inet":               {{910, "inet_in"}, {911, "inet_out"}, {2496, "inet_recv"}, {2497, "inet_send"}, {}, {}},
	"aclitem":            {{1031, "aclitemin"}, {1032, "aclitemout"}, {}, {}, {}, {}},
	"bpchar":             {{1044, "bpcharin"}, {1045, "bpcharout"}, {2430, "bpcharrecv"}, {2431, "bpcharsend"}, {2913, "bpchartypmodin"}, {2914, "bpchartypmodout"}},
	"varchar":            {{1046, "varcharin"}, {1047, "varcharout"}, {2432, "varcharrecv"}, {2433, "varcharsend"}, {2915, "varchartypmodin"}, {2916, "varchartypmodout"}},
	"date":               {{1084, "date_in"}, {1085, "date_out"}, {2468, "date_recv"}, {2469, "date_send"}, {}, {}},
	"time":               {{1143, "time_in"}, {1144, "time_out"}, {2470, "time_recv"}, {2471, "time_send"}, {2909, "timetypmodin"}, {2910, "timetypmodout"}},
	"timestamp":          {{1312, "timestamp_in"}, {1313, "timestamp_out"}, {2474, "timestamp_recv"}, {2475, "timestamp_send"}, {2905, "timestamptypmodin"}, {2906, "timestamptypmodout"}},
	"timestamptz":        {{1150, "timestamptz_in"}, {1151, "timestamptz_out"}, {2476, "timestamptz_recv"}, {2477, "timestamptz_send"}, {2907, "timestamptztypmodin"}, {2908, "timestamptztypmodout"}},
	"interval":           {{1160, "interval_in"}, {1161, "interval_out"}, {2478, "interval_recv"}, {2479, "interval_send"}, {2903, "intervaltypmodin"}, {2904, "intervaltypmodout"}},
	"timetz":             {{1350, "timetz_in"}, {1351, "timetz_out"}, {2472, "timetz_recv"}, {2473, "timetz_send"}, {2911, "timetztypmodin"}, {2912, "timetztypmodout"}},
	"bit":                {{1564, "bit_in"}, {1565, "bit_out"}, {2456, "bit_recv"}, {2457, "bit_send"}, {2919, "bittypmodin"}, {2920, "bittypmodout"}},
	"varbit":             {{1579, "varbit_in"}, {1580, "varbit_out"}, {2458, "varbit_recv"}, {2459, "varbit_send"}, {2902, "varbittypmodin"}, {2921, "varbittypmodout"}},
	"numeric":            {{1701, "numeric_in"}, {1702, "numeric_out"}, {2460, "numeric_recv"}, {2461, "numeric_send"}, {2917, "numerictypmodin"}, {2918, "numerictypmodout"}},
	"regprocedure":       {{2212, "regprocedurein"}, {2213, "regprocedureout"}, {2446, "regprocedurerecv"}, {2447, "regproceduresend"}, {}, {}},
	"regoper":            {{2214, "regoperin"}, {2215, "regoperout"}, {2448, "regoperrecv"}, {2449, "regopersend"}, {}, {}},
	"regoperator":        {{2216, "regoperatorin"}, {2217, "regoperatorout"}, {2450, "regoperatorrecv"}, {2451, "regoperatorsend"}, {}, {}},
	"regclass":           {{2218, "regclassin"}, {2219, "regclassout"}, {2452, "regclassrecv"}, {2453, "regclasssend"}, {}, {}},
	"regtype":            {{2220, "regtypein"}, {2221, "regtypeout"}, {2454, "regtyperecv"}, {2455, "regtypesend"}, {}, {}},
	"record":             {{2290, "record_in"}, {2291, "record_out"}, {2402, "record_recv"}, {2403, "record_send"}, {}, {}},
	"cstring":            {{2292, "cstring_in"}, {2293, "cstring_out"}, {2500, "cstring_recv"}, {2501, "cstring_send"}, {}, {}},
	"any":                {{2294, "any_in"}, {2295, "any_out"}, {}, {}, {}, {}},
	"anyarray":           {{2296, "anyarray_in"}, {2297, "anyarray_out"}, {2502, "anyarray_recv"}, {2503, "anyarray_send"}, {}, {}},
	"void":               {{2298, "void_in"}, {2299, "void_out"}, {3120, "void_recv"}, {3121, "void_send"}, {}, {}},
	"trigger":            {{2300, "trigger_in"}, {2301, "trigger_out"}, {}, {}, {}, {}},
	"internal":           {{2304, "internal_in"}, {2305, "internal_out"}, {}, {}, {}, {}},
	"anyelement":         {{2312, "anyelement_in"}, {2313, "anyelement_out"}, {}, {}, {}, {}},
	"anynonarray":        {{2777, "anynonarray_in"}, {2778, "anynonarray_out"}, {}, {}, {}, {}},
	"anycompatible":      {{5086, "anycompatible_in"}, {5087, "anycompatible_out"}, {}, {}, {}, {}},
	"anycompatiblearray": {{5088, "anycompatiblearray_in"}, {5089, "anycompatiblearray_out"}, {5090, "anycompatiblearray_recv"}, {5091, "anycompatiblearray_send"}, {}, {}},
	"uuid":               {{2952, "uuid_in"}, {2953, "uuid_out"}, {2961, "uuid_recv"}, {2962, "uuid_send"}, {}, {}},
	"jsonb":              {{3806, "jsonb_in"}, {3804, "jsonb_out"}, {3805, "jsonb_recv"}, {3803, "jsonb_send"}, {}, {}},
	"jsonpath":           {{4001, "jsonpath_in"}, {4003, "jsonpath_out"}, {4002, "jsonpath_recv"}, {4004, "jsonpath_send"}, {}, {}},
	"regnamespace":       {{4084, "regnamespacein"}, {4085, "regnamespaceout"}, {4087, "regnamespacerecv"}, {4088, "regnamespacesend"}, {}, {}},
	"regrole":            {{4098, "regrolein"}, {4092, "regroleout"}, {4094, "regrolerecv"}, {4095, "regrolesend"}, {}, {}},
	"regcollation":       {{4193, "regcollationin"}, {4194, "regcollationout"}, {4196, "regcollationrecv"}, {4197, "regcollationsend"}, {}, {}},
}
