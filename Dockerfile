# Runwarden with the agents it runs in one container.
#
# It runs as root on purpose: to start a run under another account (`runAs`), and to read the process table of every
# account when it proves that a tree is gone, a supervisor needs the rights of root. Give the *runs* an account instead.
# Extend this image with the agents that you want to run:
#   FROM runwarden
#   RUN npm install --global your-agent
FROM node:24-slim

WORKDIR /opt/runwarden

# Before the sources, so that a changed source does not reinstall the packages. No package needs its install script.
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --omit=dev --no-audit --no-fund && npm cache clean --force

COPY . .
RUN printf '#!/bin/sh\nexec node /opt/runwarden/src/main.ts "$@"\n' > /usr/local/bin/runwarden && chmod +x /usr/local/bin/runwarden

# Inside a container 127.0.0.1 reaches nobody; which addresses of the machine are served is up to the published port.
ENV RUNWARDEN_ADDRESS=0.0.0.0 RUNWARDEN_DATA_DIR=/var/lib/runwarden NODE_ENV=production
VOLUME /var/lib/runwarden
EXPOSE 4680

# Not through npm, which would put its variables into the environment and itself between the signals and the server.
ENTRYPOINT ["node", "/opt/runwarden/src/main.ts"]
CMD ["up"]
