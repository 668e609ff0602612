package ast

// RoleSpec names a role. Special says that it is one of the words current_user, current_role, session_user and public, and no name.
type RoleSpec struct {
	Name    string
	Special bool
	Pos     Pos
}

// RoleOption is an option of CREATE ROLE or ALTER ROLE. What is set depends on Name, in lower case without its NO: "superuser", "login",
// "createdb", "createrole", "inherit", "replication", "bypassrls" (On), "connection limit" (Number), "password" and "valid until" (Text,
// nil NULL), "in role", "role" and "admin" (Roles).
type RoleOption struct {
	Name   string
	On     bool
	Number int64
	Text   *string
	Roles  []RoleSpec
	Pos    Pos
}

// CreateRole is CREATE ROLE, USER or GROUP. Of a user LOGIN is the default.
type CreateRole struct {
	User    bool
	Kind    string // role, user or group
	Name    RoleSpec
	Options []RoleOption
}

// AlterRole is ALTER ROLE, USER or GROUP: its options, RENAME TO, or SET and RESET. Members is of ALTER GROUP .. ADD and DROP USER.
type AlterRole struct {
	Kind    string
	All     bool // of SET: every role
	Role    RoleSpec
	Options []RoleOption
	NewName *RoleSpec
	Set     *Set
	Members []RoleSpec
	Drop    bool
}

// DropRole is DROP ROLE, USER or GROUP.
type DropRole struct {
	Kind     string
	IfExists bool
	Roles    []RoleSpec
}

// Grant is GRANT or REVOKE. Without Kind it is of membership in the roles that Privileges names.
type Grant struct {
	Revoke     bool
	OptionFor  bool // REVOKE GRANT (ADMIN) OPTION FOR
	All        bool // ALL [PRIVILEGES]; with Columns those of each relation
	Privileges []GrantPrivilege
	Kind       string // "table", "sequence", "schema", "function", ...; of "all tables" and its kind Objects are schemas
	Objects    []Name
	Args       [][]TypeName // of functions, parallel to Objects; nil where none were given
	Roles      []RoleSpec
	WithOption bool // WITH GRANT (ADMIN) OPTION
	Cascade    bool
	By         *RoleSpec
	Pos        Pos
	// Defaults says that it is the action of ALTER DEFAULT PRIVILEGES, for objects that For make in the schemas InSchemas.
	Defaults  bool
	For       []RoleSpec
	InSchemas []Name
}

// GrantPrivilege is a privilege, or a role where the statement is about membership.
type GrantPrivilege struct {
	Name    string
	Columns []string
	Pos     Pos
}

// ReassignOwned is REASSIGN OWNED BY roles TO role, and without To DROP OWNED BY roles.
type ReassignOwned struct {
	Roles   []RoleSpec
	To      *RoleSpec
	Cascade bool
}

func (*CreateRole) stmt()    {}
func (*AlterRole) stmt()     {}
func (*DropRole) stmt()      {}
func (*Grant) stmt()         {}
func (*ReassignOwned) stmt() {}
