# The gate, as an ordinary user, with its state in a volume. See docs/operations.md.
FROM python:3.12-slim

RUN useradd --create-home --uid 10001 noisegate \
    && install -d -o noisegate -g noisegate -m 0700 /var/lib/noisegate

WORKDIR /opt/noisegate
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
COPY policies ./policies
RUN pip install --no-cache-dir -c constraints.txt .

USER noisegate
ENV NOISEGATE_STATE=/var/lib/noisegate
VOLUME /var/lib/noisegate
EXPOSE 6432
# Policies are mounted or built into /etc/noisegate/policies; SIGTERM ends the gate in order.
ENTRYPOINT ["noisegate"]
CMD ["serve", "/etc/noisegate/policies", "--host", "0.0.0.0"]
