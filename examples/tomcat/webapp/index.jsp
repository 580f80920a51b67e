<%@ page contentType="text/html; charset=UTF-8" session="true" %><%
// Written for SiteMinder: whoever SM_USER names is signed in.
String user = request.getHeader("SM_USER");
if (user == null || user.isEmpty()) { response.sendError(403, "SM_USER is missing"); return; }
session.setAttribute("user", user);
%><!DOCTYPE html>
<html lang="en"><head><title>Payroll</title></head><body>
<h1>Payroll of <%= user %></h1>
<p>headers: <%= java.util.Collections.list(request.getHeaders("SM_USER")) %></p>
<p>session is <%= session.isNew() ? "new" : "old" %></p>
<p><a href="<%= response.encodeURL("june.jsp") %>">June</a></p>
</body></html>
