// Package icingaweb2 is an example: a PHP application that believes REMOTE_USER.
package icingaweb2
