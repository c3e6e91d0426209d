{{- define "pelton.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "pelton.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "pelton.labels" -}}
{{ include "pelton.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "pelton.headless" -}}
{{ include "pelton.fullname" . }}-workers
{{- end -}}

{{- define "pelton.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "pelton.tokenSecret" -}}
{{ .Values.web.token.name | default (printf "%s-web" (include "pelton.fullname" .)) }}
{{- end -}}

{{/* How many workers; nothing where an autoscaler alone says so. What a chart said once and says no more helm takes away,
and the server puts 1 in its place: a chart that did say how many goes on with as many as there are. `lookup` finds
nothing where nothing is applied (`helm template`). */}}
{{- define "pelton.replicas" -}}
{{- if not .Values.autoscaling.enabled -}}
{{ .Values.replicas }}
{{- else -}}
{{- with lookup "apps/v1" "StatefulSet" .Release.Namespace (include "pelton.fullname" .) -}}
{{- if hasKey (.metadata.annotations | default dict) "pelton/replicas" }}{{ .spec.replicas }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "pelton.sasl" -}}
{{- if hasPrefix "SASL" .Values.broker.protocol }}true{{ end -}}
{{- end -}}

{{- define "pelton.tls" -}}
{{- if and (hasSuffix "SSL" .Values.broker.protocol) .Values.broker.tls.name }}true{{ end -}}
{{- end -}}

{{/* What values.schema.json cannot say: things that must fit each other. */}}
{{- define "pelton.check" -}}
{{- if and (not .Values.autoscaling.enabled) (gt (int .Values.replicas) (int .Values.partitions)) -}}
{{- fail (printf "replicas is %d, but there are only %d partitions: the others would have nothing to do. hint: see `faust -A %s describe`, and set partitions" (int .Values.replicas) (int .Values.partitions) .Values.application) -}}
{{- end -}}
{{- if and (include "pelton.sasl" .) (not .Values.broker.credentials.name) -}}
{{- fail (printf "broker.protocol is %s, but broker.credentials.name is empty. hint: name the Secret with the user and the password" .Values.broker.protocol) -}}
{{- end -}}
{{- if and (not (hasPrefix "SASL" .Values.broker.protocol)) .Values.broker.credentials.name -}}
{{- fail (printf "broker.credentials.name is %s, but broker.protocol is %s, which sends no user. hint: set broker.protocol to SASL_SSL" .Values.broker.credentials.name .Values.broker.protocol) -}}
{{- end -}}
{{- if and (not (hasSuffix "SSL" .Values.broker.protocol)) .Values.broker.tls.name -}}
{{- fail (printf "broker.tls.name is %s, but broker.protocol is %s, which encrypts nothing. hint: set broker.protocol to SSL or SASL_SSL" .Values.broker.tls.name .Values.broker.protocol) -}}
{{- end -}}
{{- if ne (empty .Values.broker.tls.certificateKey) (empty .Values.broker.tls.privateKeyKey) -}}
{{- fail "broker.tls: expected both certificateKey and privateKeyKey, or neither" -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.partitions)) -}}
{{- fail (printf "autoscaling.minReplicas is %d, but there are only %d partitions" (int .Values.autoscaling.minReplicas) (int .Values.partitions)) -}}
{{- end -}}
{{- if not (regexMatch "^[a-z][-a-z0-9]*$" (include "pelton.fullname" .)) -}}
{{- fail (printf "objects would be called %s, but the name of a Service must begin with a letter and have no dots. hint: set fullnameOverride" (include "pelton.fullname" .)) -}}
{{- end -}}
{{- end -}}

{{/* How Kafka is reached: what workers and the job have in common. */}}
{{- define "pelton.brokerEnv" -}}
- name: BROKER_URL
  value: {{ .Values.broker.url | quote }}
{{- if ne .Values.broker.protocol "PLAINTEXT" }}
- name: PELTON_BROKER_PROTOCOL
  value: {{ .Values.broker.protocol }}
{{- end }}
{{- if include "pelton.sasl" . }}
- name: PELTON_BROKER_MECHANISM
  value: {{ .Values.broker.mechanism }}
- name: PELTON_BROKER_USERNAME
  valueFrom:
    secretKeyRef:
      name: {{ .Values.broker.credentials.name }}
      key: {{ .Values.broker.credentials.usernameKey }}
- name: PELTON_BROKER_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ .Values.broker.credentials.name }}
      key: {{ .Values.broker.credentials.passwordKey }}
{{- end }}
{{- if include "pelton.tls" . }}
{{- with .Values.broker.tls.caKey }}
- name: PELTON_BROKER_CA_FILE
  value: /etc/pelton/kafka/{{ . }}
{{- end }}
{{- with .Values.broker.tls.certificateKey }}
- name: PELTON_BROKER_CERTIFICATE_FILE
  value: /etc/pelton/kafka/{{ . }}
{{- end }}
{{- with .Values.broker.tls.privateKeyKey }}
- name: PELTON_BROKER_KEY_FILE
  value: /etc/pelton/kafka/{{ . }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- range $name, $secret := .Values.secretSettings }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret.name }}
      key: {{ $secret.key }}
{{- end }}
{{- end -}}

{{- define "pelton.mounts" -}}
- name: tmp
  mountPath: /tmp
{{- if include "pelton.tls" . }}
- name: kafka
  mountPath: /etc/pelton/kafka
  readOnly: true
{{- end }}
{{- end -}}

{{- define "pelton.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 256Mi
{{- if include "pelton.tls" . }}
- name: kafka
  secret:
    secretName: {{ .Values.broker.tls.name }}
    defaultMode: 288
{{- end }}
{{- end -}}

{{- define "pelton.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "pelton.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{- define "pelton.placement" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}
