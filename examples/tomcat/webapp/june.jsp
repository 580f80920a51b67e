<%@ page contentType="text/html; charset=UTF-8" session="true" %><%
Object known = session.getAttribute("user");
if (known == null || !known.equals(request.getHeader("SM_USER"))) { response.sendError(403, "this session is not yours"); return; }
%><!DOCTYPE html>
<html lang="en"><head><title>June</title></head><body>
<h1>June of <%= known %></h1>
<p>session from the address: <%= request.isRequestedSessionIdFromURL() %></p>
</body></html>
