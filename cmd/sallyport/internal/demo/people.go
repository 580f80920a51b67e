package demo

// person is somebody the demo's provider vouches for.
type person struct {
	Name, Password, FullName, Email, Title string
	Groups                                 []string
	// Admin is for the page that lists the people.
	Admin bool
}

// people are the two of the demo, in the order they are shown.
var people = []person{
	{
		Name: "alice", Password: "wonderland", FullName: "Alice Liddell", Email: "alice@example.test",
		Title: "runs the place", Groups: []string{"staff", "admins"}, Admin: true,
	},
	{
		Name: "bob", Password: "canwefixit", FullName: "Bob Builder", Email: "bob@example.test",
		Title: "works here", Groups: []string{"staff"},
	},
}

func personNamed(name string) (person, bool) {
	for _, p := range people {
		if p.Name == name {
			return p, true
		}
	}
	return person{}, false
}
