// The REST API's reference, to read and to try: Swagger UI over this server's own OpenAPI document.
import "swagger-ui-dist/swagger-ui.css";
import "./docs.css";
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle";
import { formToken } from "../api";

SwaggerUI({
  url: "/api/openapi.json",
  domNode: document.getElementById("api"),
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  // the document is no other site's to judge
  validatorUrl: null,
  requestInterceptor: (request: { headers: Record<string, string> }) => {
    const token = formToken();
    if (token) request.headers["X-CSRF-Token"] = token;
    return request;
  },
});
