// Package tomcat is an example: a Java application of the SiteMinder days, with
// its sessions in the address.
package tomcat
